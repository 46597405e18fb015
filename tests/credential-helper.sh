#!/bin/sh
# A credential helper for the tests, good or bad by the name it is called by. What it is told to store
# it keeps in the folder HELPER_STATE.
name=${0##*docker-credential-}
case $name in
    hangs)
        echo $$ >"$HELPER_STATE/parent"
        sleep 1000 &
        echo $! >"$HELPER_STATE/child"
        wait
        ;;
    lingers)
        exec >&-
        touch "$HELPER_STATE/silent"
        exec sleep 1000
        ;;
    endless) exec cat /dev/zero ;;
    counted)
        echo once >>"$HELPER_STATE/count"
        ;;
    deaf)
        exec <&-
        echo '{"ServerURL":"x","Username":"robot","Secret":"deaf"}'
        exit
        ;;
    env)
        case "$* $(env)" in
            *hunter2*) exit 1 ;;
        esac
        echo "{\"Username\":\"robot\",\"Secret\":\"$*\"}"
        exit
        ;;
esac
IFS= read -r server || :
case $name:$1 in
    good:get | counted:get) echo "{\"ServerURL\":\"$server\",\"Username\":\"robot\",\"Secret\":\"$server\"}" ;;
    token:get) echo "{\"ServerURL\":\"$server\",\"Username\":\"<token>\",\"Secret\":\"$server\"}" ;;
    unknown:get)
        echo 'credentials not found in native keychain'
        exit 1
        ;;
    empty:get) echo '{"ServerURL":"","Username":"","Secret":""}' ;;
    nobody:get) echo '{"ServerURL":"","Username":"","Secret":"hunter2"}' ;;
    garbage:get) echo '<html>hunter2</html>' ;;
    store:get)
        cat "$HELPER_STATE/stored" 2>/dev/null && exit
        echo 'credentials not found in native keychain'
        exit 1
        ;;
    store:store) printf %s "$server" >"$HELPER_STATE/stored" ;;
    store:erase) rm "$HELPER_STATE/stored" ;;
    *)
        echo "error: cannot unlock with password hunter2"
        echo "warning: hunter2" >&2
        exit 1
        ;;
esac
