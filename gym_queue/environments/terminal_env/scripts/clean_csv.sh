lower=(ada bob cleo dan eva finn gus hana)
name=(Ada Bob Cleo Dan Eva Finn Gus Hana)
upper=(ADA BOB CLEO DAN EVA FINN GUS HANA)

# row ID PERSON: one row, with a person's address spelt in any case.
row() {
  pick "${lower[$2]}@example.org" "${name[$2]}@example.org" "${upper[$2]}@EXAMPLE.ORG" "${lower[$2]}@Example.org"
  email=$picked
  pick "" " " "  "
  pad=$picked
  pick Lyon " Graz" "Bern " "Den Haag"
  city=$picked
  pick "" $'\r'
  printf '%s\n' "$1,$pad${name[$2]}$pad,$email$pad,$city$picked"
}

{
  echo "id,name,email,city"
  for index in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    draw 0 7
    row $((index * 37 % 101)) "$drawn"
    draw 1 5
    case $drawn in
      1) echo "" ;;
      2) echo "$((index * 37 % 101 + 200)),Nobody, ,Oslo" ;;
    esac
  done
  # Whatever was drawn, one person comes twice, spelt in two ways.
  echo "300,Ida,ida@example.org,Oslo"
  echo "299, Ida,IDA@example.org ,Oslo"
} >people.csv
