mkdir jobs
cat >jobs/job.sh <<'JOB'
#!/usr/bin/env bash
# job.sh NAME: works through the items of one job.
trap '' TERM  # an item is never left half done
for ((n = 1; n < 100000; n++)); do
  [ -d jobs ] || exit 0
  if [ "$(cat "jobs/$1.item")" = corrupt ]; then
    echo "ERROR $1.item cannot be read, trying again" >>"jobs/$1.log"
  else
    echo "item $n done" >>"jobs/$1.log"
  fi
  sleep 0.1
done
JOB
pick billing mailing indexing
runaway=$picked
for name in billing mailing indexing; do
  echo fine >"jobs/$name.item"
  if [ "$name" = "$runaway" ]; then echo corrupt >"jobs/$name.item"; fi
  if [ -z "${GYM_TRUTH:-}" ]; then
    bash jobs/job.sh "$name" </dev/null >/dev/null 2>&1 &
    echo $! >"jobs/$name.pid"
    until [ -s "jobs/$name.log" ]; do sleep 0.02; done
  fi
done
if [ -n "${GYM_TRUTH:-}" ]; then echo "$runaway" >truth; fi
