# Ask each route once, as a browser and as a program would.
ask="curl -s --retry 20 --retry-all-errors --unix-socket hydra.sock"
echo hello > letter.txt
$ask -F file=@letter.txt http://hydra/toupper/txt/
$ask -F file=@letter.txt http://hydra/convert/pdf/ | head -n 1
$ask -d '{"function": "toupper", "input": "hi", "meta": {"request_id": "1"}}' \
    http://hydra/functions/invoke
