#!/bin/bash
# Workers on one study as jobs of a Ray cluster whose nodes mount the study under the same path. Begin the study, then
#   RAY_API_SERVER_ADDRESS=http://head:8265 GPUS=1 bash examples/search/ray.sh 8 /shared/runs/search
# A job that asks for neither processors nor GPUs would run on the head node, so that each asks for one processor at least.
set -euo pipefail
workers=$1
# a job has a working directory of its own
# by its whole path; one that is whole already need not be mounted here
case $2 in
    /*) study=$2 ;;
    *) study=$(CDPATH='' cd -- "$2" > /dev/null && pwd) ;;
esac
shift 2
for _ in $(seq "$workers"); do
    ray job submit --no-wait --entrypoint-num-cpus "${CPUS:-1}" --entrypoint-num-gpus "${GPUS:-0}" \
        -- millstream search worker "$study" "$@"
done
