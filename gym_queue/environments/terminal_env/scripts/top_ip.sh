# The busiest address asks for pages that exist; the one that is looked for, mostly for pages that do not.
draw 2 99
busy="10.0.0.$drawn"
draw 100 250
lost="10.0.0.$drawn"
line() { printf '%s - - [01/May/2024:12:%02d:%02d +0000] "GET %s HTTP/1.1" %s 512\n' "$1" $((n / 60)) $((n % 60)) "$2" "$3"; }
for ((n = 0; n < 400; n++)); do
  draw 1 10
  case $drawn in
    1 | 2 | 3 | 4) line "$busy" "/404.html" 200 ;;
    5 | 6) line "$lost" "/missing" 404 ;;
    7) line "10.0.1.$((n % 9))" "/missing" 404 ;;
    *) line "10.0.2.$((n % 17))" "/index.html" 200 ;;
  esac
done >access.log
