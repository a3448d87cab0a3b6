for folder in share "share/team docs" share/tools share/keys share/tools/old; do
  mkdir -p "$folder"
  for index in 1 2; do
    pick report notes plan draft
    stem="$picked $index"
    pick .txt .md .sh .pem
    echo "$stem" >"$folder/$stem$picked"
  done
done
for file in share/run.sh share/list.txt share/keys/main.pem; do echo "$file" >"$file"; done
find share -type f -exec chmod 666 {} +
find share -type d -exec chmod 777 {} +
chmod 777 share/list.txt share/keys/main.pem
