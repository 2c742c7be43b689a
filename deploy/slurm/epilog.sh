#!/usr/bin/env bash
# EpilogSlurmctld: when a job has ended, however that came about, end its leases. With them end the sessions
# and jobs that its user has on these devices. A lease that nobody ends is over with the job's time limit.
set -u
. "$(dirname "$(readlink -f "$0")")/sojourn-common.sh"

failed=0
for device in $(devices); do
  status=$(post "/leases/$device/$lease/end" "{}")
  case $status in
    200 | 404) ;; # 404: the prolog did not come so far
    *)
      echo "sojourn: lease $lease of $device was not ended: $status $(cat "$answer")" >&2
      failed=1
      ;;
  esac
done
exit "$failed"
