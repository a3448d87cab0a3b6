mkdir -p Pictures
cp "$files/card.png" Pictures/
echo 'toolbar3 = false' >.mtpaint # no second window
opened card.png mtpaint Pictures/card.png
