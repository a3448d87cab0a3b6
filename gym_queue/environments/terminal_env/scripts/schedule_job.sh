mkdir bin
for job in backup report rotate; do
  printf '#!/bin/sh\necho %s\n' "$job" >"bin/$job.sh"
  chmod +x "bin/$job.sh"
done
draw 1 5
hour=$drawn
draw 31 59
minute=$drawn
printf 'Please run bin/backup.sh from Monday to Friday at %02d:%d. bin/report.sh is no longer wanted.\n' \
  "$hour" "$minute" >request.txt
draw 10 29
cat >crontab.txt <<CRON
# minute hour day-of-month month day-of-week command
SHELL=/bin/sh
$drawn 4 1 * * bin/report.sh
*/15 * * * * bin/rotate.sh
CRON
