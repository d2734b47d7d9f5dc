FROM scratch
COPY pause-1 /pause
ENTRYPOINT ["/pause"]
