#!/bin/bash
# Workers on one study as a Slurm array, each with a GPU of its own. Begin the study, then
#   sbatch examples/search/slurm.sh /shared/runs/search
# Without Slurm this is one worker on this machine: bash examples/search/slurm.sh runs/search
#SBATCH --job-name=millstream
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
# A minute before the limit the worker saves its trial and gives it back; "B:", since it takes the place of the script.
#SBATCH --signal=B:TERM@60
exec millstream search worker "$@"
