python3 "$scripts/signup.py" "$HOME/.signups.jsonl" 8000 </dev/null >/dev/null 2>&1 &
timeout 30 bash -c 'until (: </dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.05; done'
opened "Sign up" netsurf-gtk http://localhost:8000/
