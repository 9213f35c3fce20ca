# The front of a poll, as a CGI program: each request is a container, and so is each count.
set -eu

poll() { docker run --rm -v votes:/votes "$@"; }

case "${1:-$REQUEST_METHOD}" in
POST)
    printf 'Content-Type: text/plain\n\n'
    read -r choice || true
    case $choice in
    cats | dogs) ;;
    *) echo "vote for cats or dogs" && exit ;;
    esac
    # The container goes on when this one has answered.
    poll -d my/vote sh /vote.sh count "$choice" > /dev/null
    echo "thank you"
    ;;
GET)
    printf 'Content-Type: text/plain\n\n'
    poll my/vote sh /vote.sh show
    ;;
count)
    sleep 0.5 # as if counting were work
    echo "$2" >> /votes/all
    ;;
show)
    touch /votes/all
    sort /votes/all | uniq -c
    ;;
esac
