cat >report.sh <<'SCRIPT'
#!/usr/bin/env bash
# report.sh FILE: prints how many orders a file holds and what they come to.
set -eu
file=$1
count=0
total=0
while IFS=, read -r id region amount; do
  [ "$id" = id ] && continue
  count=$((count + 1))
  total=$((totl + amount))
done < $file
echo "orders $count total $total"
SCRIPT
chmod +x report.sh
{
  echo id,region,amount
  draw 8 20
  for ((id = drawn; id > 0; id--)); do
    pick north south east west
    draw 5 900
    echo "$id,$picked,$drawn"
  done
} >"orders of May.csv"
