#!/bin/bash
# Run one stage beside others that run in the same folder: tools/repro_stage.sh train@melanoma-resnet50
# DVC waits 3 seconds for another's lock and then gives up; here it tries again.
# With SLOT, the number of this training beside others, it has the SLOT-th of the GPUs that are there for the user.
set -o pipefail
if [ -n "$SLOT" ]; then
    IFS=, read -ra gpus <<< "${CUDA_VISIBLE_DEVICES-$(nvidia-smi --query-gpu=index --format=csv,noheader | paste -sd,)}"
    [ ${#gpus[@]} -eq 0 ] || export CUDA_VISIBLE_DEVICES=${gpus[SLOT % ${#gpus[@]}]}
fi
said=$(mktemp)
trap 'rm -f "$said"' EXIT
until dvc repro --single-item "$1" 2>&1 | tee "$said"; do
    grep -q "Unable to acquire lock" "$said" || exit 1
    sleep $((RANDOM % 10 + 1))
done
