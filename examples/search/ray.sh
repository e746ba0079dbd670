#!/bin/bash
# Workers on one study as jobs of a Ray cluster whose nodes mount the study under the same path. Begin the study, then
#   GPUS=1 bash examples/search/ray.sh 8 /shared/runs/search
set -euo pipefail
workers=$1
shift
for _ in $(seq "$workers"); do
    ray job submit --no-wait --entrypoint-num-gpus "${GPUS:-0}" -- millstream search worker "$@"
done
