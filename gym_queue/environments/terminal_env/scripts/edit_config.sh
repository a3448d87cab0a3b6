mkdir app
draw 2000 9999
port=$drawn
draw 2000 9999
cat >app/server.conf <<CONF
# The order service
[server]
host = 127.0.0.1
port = 80
workers = 4
debug = on

[metrics]
host = 127.0.0.1
port = $drawn
debug = on
CONF
echo "$port" >app/new_port.txt
