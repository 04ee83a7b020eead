"""A cluster of one machine: the pod API of Kubernetes in front of podman, for the tests.

The unmodified KubernetesPodOperator talks to it, and its pods become real containers.

    admission.py    refuses what a cluster with the Pod Security level "restricted" would refuse
    translation.py  a pod as podman plays it, and what podman says of it as Kubernetes says it
    engine.py       podman, with a storage of its own
    cluster.py      the pods that there are, their lives, and what is kept of them for the tests
    api.py          the HTTP and websocket side

There is no scheduler, no kubelet, no etcd. So this proves what the operator sends, that real
containers run it, and what comes back. It does not know RBAC, tokens, pulling of images, several
nodes, eviction, quotas, `activeDeadlineSeconds`, limits of an emptyDir, and drivers of volumes: a
claim is a folder of this machine. Secrets and config maps, probes and init containers are refused.
"""
