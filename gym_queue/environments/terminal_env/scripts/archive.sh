for folder in photos photos/2023 "photos/2024 spring"; do
  mkdir -p "$folder"
  for index in 1 2 3; do
    draw 1 999
    echo "picture $drawn" >"$folder/image $drawn-$index.jpg"
  done
  echo "half a picture" >"$folder/upload-$drawn.tmp"
done
