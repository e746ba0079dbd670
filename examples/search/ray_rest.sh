#!/bin/bash
# As ray.sh, by the REST interface of Ray's jobs alone: from a machine that has curl and no Ray.
#   RAY_API_SERVER_ADDRESS=http://head:8265 GPUS=1 bash examples/search/ray_rest.sh 8 /shared/runs/search
set -euo pipefail
address=${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}
workers=$1
# by its whole path; one that is whole already need not be mounted here
case $2 in
    /*) study=$2 ;;
    *) study=$(CDPATH='' cd -- "$2" > /dev/null && pwd) ;;
esac
shift 2
# A shell of the cluster reads the command, so that each word is quoted; `exec` lets the worker have its signals.
quote="'" quoted="'\\''"
command="exec millstream search worker"
for word in "$study" "$@"; do
    command+=" '${word//"$quote"/"$quoted"}'"
done
# The command as a text of JSON.
back='\' backs='\\' double='"' doubles='\"' line=$'\n' lines='\n' tab=$'\t' tabs='\t'
text=${command//"$back"/"$backs"}
text=${text//"$double"/"$doubles"}
text=${text//"$line"/"$lines"}
text=${text//"$tab"/"$tabs"}
body="{\"entrypoint\": \"$text\", \"entrypoint_num_cpus\": ${CPUS:-1}, \"entrypoint_num_gpus\": ${GPUS:-0}}"
for _ in $(seq "$workers"); do
    # the slash at the end belongs to the address
    curl --silent --show-error --fail --header "Content-Type: application/json" --data-binary "$body" "${address%/}/api/jobs/"
    echo
done
