#!/bin/bash
# Run one stage beside others that run in the same folder: tools/repro_stage.sh train@melanoma-resnet50
# DVC waits 3 seconds for another's lock and then gives up; here it tries again.
set -o pipefail
said=$(mktemp)
trap 'rm -f "$said"' EXIT
until dvc repro --single-item "$1" 2>&1 | tee "$said"; do
    grep -q "Unable to acquire lock" "$said" || exit 1
    sleep $((RANDOM % 10 + 1))
done
