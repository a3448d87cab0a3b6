# A job that runs as a user who may neither read its source nor write its target, in a file that cron passes over besides.
install "$files/stock-report" /usr/local/bin/stock-report
install -d /srv/stock
install -m 640 -g reports "$files/stock.csv" /srv/stock/stock.csv
install -d -m 750 -o reports -g reports /srv/reports
echo 'stock of yesterday: 17 pieces, counted by reports' >/srv/reports/stock.txt
chown reports:reports /srv/reports/stock.txt
touch -d '1 day ago' /srv/reports/stock.txt
install -m 664 "$files/report" /etc/cron.d/report
