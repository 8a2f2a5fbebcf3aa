#!/bin/bash
# SLURM on this one machine, to try the scripts in slurm/. As root, on Debian 12, in a machine that you can throw away:
#     tools/one_node_slurm.sh start; sbatch …; tools/one_node_slurm.sh stop
set -euo pipefail
state=/tmp/one_node_slurm
case ${1:-} in
start)
    apt-get install -y --no-install-recommends slurm-wlm munge
    mkdir -p $state/ctld $state/d /run/munge
    chown munge: /run/munge
    cat >/etc/slurm/slurm.conf <<END
ClusterName=one
SlurmctldHost=$(hostname -s)
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
SlurmctldPidFile=$state/ctld.pid
SlurmdPidFile=$state/d.pid
NodeName=$(hostname -s) CPUs=$(nproc)
PartitionName=all Nodes=ALL Default=YES
END
    su -s /bin/sh munge -c /usr/sbin/munged
    slurmctld
    slurmd
    sleep 3
    sinfo
    ;;
stop)
    kill "$(cat $state/d.pid)" "$(cat $state/ctld.pid)" "$(cat /run/munge/munged.pid)"
    ;;
*)
    sed -n '2,3s/^# *//p' "$0"
    exit 2
    ;;
esac
