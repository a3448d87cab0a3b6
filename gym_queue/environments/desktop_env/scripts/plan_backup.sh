opened backup xterm -class backup -fa 'DejaVu Sans Mono' -fs 14 -e bash "$scripts/planner.sh"
