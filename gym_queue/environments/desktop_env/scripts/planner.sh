#!/usr/bin/env bash
# Asks for a backup plan, and writes it to ~/.backup.conf when it is confirmed.
ask() {
  dialog --backtitle "Backup planner" --stdout "$@"
}
folders=$(ask --checklist "Which folders?" 14 60 5 \
  Documents "letters and sheets" on Music "songs" on Pictures "photographs" off Videos "films" off Mail "messages" off) || exit
rhythm=$(ask --menu "How often?" 12 60 3 daily "every night" weekly "on Sundays" monthly "on the 1st") || exit
target=$(ask --inputbox "To which host?" 9 60 localhost) || exit
ask --yesno "Back up $folders $rhythm to $target?" 9 60 || exit
printf 'folders=%s\nrhythm=%s\ntarget=%s\n' "$folders" "$rhythm" "$target" >"$HOME/.backup.conf"
dialog --backtitle "Backup planner" --msgbox "The plan is saved." 7 40
exec bash
