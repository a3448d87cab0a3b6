mkdir -p Documents
cp "$files/letter.txt" Documents/
opened letter.txt mousepad Documents/letter.txt
