mkdir -p "site/blog/first post" site/css site/vendor/lib
page() {
  pick "http://old.example.com/a" "http://old.example.com" "http://old-example.com"
  echo "<p>one $picked and http://old.example.com/x, or http://old-example.com</p>"
  draw 1 9
  echo "<p>plain text $drawn</p>"
}
for file in index.html about.html "blog/first post/index.html" blog/list.html css/main.css vendor/lib/lib.html \
  index.html.bak; do
  draw 1 4
  for ((left = drawn; left > 0; left--)); do page; done >"site/$file"
done
