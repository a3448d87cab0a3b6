mkdir service
draw 10000 49999
first=$drawn
draw 50000 99999
second=$drawn

log() { echo "$(date +%H:%M:%S) $*" >>service/service.log; }

tick() {
  draw 100 999
  log "request $drawn served"
  sleep 0.05
  [ -d service ] || exit 0
}

serve() {
  until [ -e service/backup.request ]; do tick; done
  log "backup $first started"
  for _ in 1 2 3; do tick; done
  log "backup $first failed, disk busy: tried again as backup $second"
  for _ in 1 2 3 4; do tick; done
  log "backup $second finished"
  while :; do tick; done
}

if [ -n "${GYM_TRUTH:-}" ]; then
  echo "$second" >truth
else
  serve </dev/null >/dev/null 2>&1 &
  until [ -s service/service.log ]; do sleep 0.02; done
fi
