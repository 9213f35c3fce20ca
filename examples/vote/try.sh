# Vote, and look until all is counted.
url=$WHERRY_GATEWAY/vote
for choice in cats dogs cats; do
    curl --silent --data "$choice" "$url"
done
until curl --silent "$url" | grep --quiet "2 cats"; do sleep 0.2; done
curl --silent "$url"
