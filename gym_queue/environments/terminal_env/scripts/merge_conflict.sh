export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE="2024-05-01T12:00:00Z" GIT_COMMITTER_DATE="2024-05-01T12:00:00Z"
mkdir project
cd project
git init -q
git symbolic-ref HEAD refs/heads/main
git config user.name Dana
git config user.email dana@example.org
git config commit.gpgsign false

settings() { printf 'name = %s\ntimeout_s = %s\nretries = %s\nverbose = no\n' orders "$1" "$2" >settings.conf; }

settings 30 3
echo "The order service" >README
git add .
git commit -qm "Start"
git checkout -qb feature
draw 31 60
timeout_s=$drawn
draw 4 9
settings "$timeout_s" "$drawn"
echo "retries are counted" >NOTES
git add .
git commit -qm "Retry more"
git checkout -q main
draw 61 99
settings "$drawn" 3
echo "It is slow" >>README
git commit -qam "Wait longer"
cd ..
