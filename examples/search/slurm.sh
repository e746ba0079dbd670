#!/bin/bash
# Workers on one study as a Slurm array, each with a GPU of its own. Begin the study, then
#   sbatch examples/search/slurm.sh /shared/runs/search
# Without Slurm this is one worker on this machine: bash examples/search/slurm.sh runs/search
# All tasks are alike: the journal says what each does, and SLURM_ARRAY_TASK_ID tells their logs apart alone.
#SBATCH --job-name=millstream
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
# Two minutes before the limit, or up to one earlier, the worker saves its trial and gives it back; "B:", since it takes the place of
# the script, to which Slurm sends no signal but KILL otherwise.
#SBATCH --signal=B:TERM@120
# A task that is preempted or whose node fails is queued again, asks for the next trial, and goes on with its log.
#SBATCH --requeue
#SBATCH --open-mode=append
exec millstream search worker "$@"
