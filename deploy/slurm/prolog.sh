#!/usr/bin/env bash
# PrologSlurmctld: before a job starts, lease to its user the devices whose licences the job holds.
# A failure requeues the job, as of any PrologSlurmctld.
set -u
. "$(dirname "$(readlink -f "$0")")/sojourn-common.sh"

# Until the job's time limit, and a minute more for the epilog. Slurm names it from 23.02 on.
case ${SLURM_JOB_END_TIME:-} in
  "" | *[!0-9]*) seconds=${SOJOURN_LONGEST:-} ;;
  *) seconds=$((SLURM_JOB_END_TIME - $(date +%s) + 60)) ;;
esac
until=${seconds:+", \"duration\": \"${seconds}s\""}
project=""
[ "${SOJOURN_PROJECT:-}" = account ] && [ "${SLURM_JOB_ACCOUNT:-(null)}" != "(null)" ] &&
  project=", \"project\": \"${SLURM_JOB_ACCOUNT:-}\""

for device in $(devices); do
  body="{\"device\": \"$device\", \"name\": \"$lease\", \"user\": \"$SLURM_JOB_USER\"$project$until}"
  tries=${SOJOURN_WAIT:-60}
  # 409: the epilog of the job before has not ended its lease yet.
  while status=$(post /leases "$body") && [ "$status" = 409 ] && [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    sleep 1
  done
  if [ "$status" != 201 ]; then
    echo "sojourn: $device was not leased to $SLURM_JOB_USER for job $SLURM_JOB_ID: $status $(cat "$answer")" >&2
    exit 1
  fi
done
