mkdir -p Inbox/Invoices
for month in january february march; do
  echo "Invoice for $month" >"Inbox/invoice_$month.txt"
done
echo "Minutes of the meeting" >Inbox/minutes.txt
echo "Receipt of the bicycle shop" >Inbox/scan0001.txt
opened Inbox pcmanfm "$HOME/Inbox"
