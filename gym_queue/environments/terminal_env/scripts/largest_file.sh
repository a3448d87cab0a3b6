for folder in "files" "files/reports" "files/old photos" "files/.cache" "files/.cache/thumbs"; do
  mkdir -p "$folder"
  for name in alpha beta gamma; do
    draw 100 9000
    head -c "$drawn" /dev/zero >"$folder/$name.dat"
  done
done
pick "old photos" ".cache" ".cache/thumbs"
folder=$picked
pick "summer trip.raw" "notes.bin" ".swap"
draw 9500 9900
head -c "$drawn" /dev/zero >"files/$folder/$picked"
head -c 9200 /dev/zero >"files/zeta.dat"
