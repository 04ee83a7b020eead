# Stands in for the operator's own image of the XCom sidecar, which comes from a registry.
FROM scratch
COPY busybox pgrep /bin/
RUN ["/bin/busybox", "--install", "-s", "/bin"]
