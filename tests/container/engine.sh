# shellcheck shell=bash
# How podman is set up for tests: sourced by whoever calls podman here. Sets CONTAINERS_CONF unless it
# is set already. The caller has `fail`.

[ "$(id -u)" = 0 ] || fail "containers with limits want root: try it with sudo"

if [ -z "${CONTAINERS_CONF-}" ]; then
    engine=$PWD/target/container
    mkdir -p "$engine"
    CONTAINERS_CONF=$engine/containers.conf
    # The limits of files and processes are those that this shell has: more is not for every root to
    # give. No network of its own, for none is needed. cgroupfs, for systemd need not be there.
    files=$(ulimit -Hn)
    [ "$files" != unlimited ] || files=1048576
    {
        printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=4096:4096"]\n' "$files" "$files"
        printf 'netns = "none"\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        # crun knows no machine where version 1 of control groups has version 2 beside it.
        [ -e /sys/fs/cgroup/cgroup.controllers ] || printf 'runtime = "runc"\n'
    } >"$CONTAINERS_CONF.$$"
    mv "$CONTAINERS_CONF.$$" "$CONTAINERS_CONF"
    export CONTAINERS_CONF
fi
