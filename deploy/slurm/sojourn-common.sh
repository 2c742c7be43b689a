# Shared by the prolog and the epilog; read by them, not run. Needs bash, curl and GNU date.
#
# /etc/slurm/sojourn.conf (or the file that SOJOURN_SLURM_CONF names) sets:
#   SOJOURN_URL=http://qpu.example.org:8420      the server
#   SOJOURN_KEY_FILE=/etc/slurm/sojourn.key      an operator's API key; readable by SlurmUser only
#   SOJOURN_LICENSES="lab=lab qpu2=ibm_fez"      which licence stands for which device
#   SOJOURN_PROJECT=account                      lease for the project named like the Slurm account (optional)
#   SOJOURN_LONGEST=86400                        seconds of a lease where Slurm does not name the job's end (optional)
#   SOJOURN_WAIT=60                              seconds to wait for the lease of the job before (optional)
#
# What they know of the job is in the variables that slurmctld sets: no Slurm command is called.

PATH=/usr/local/bin:/usr/bin:/bin
: "${SLURM_JOB_ID:?is not set: this runs as PrologSlurmctld or EpilogSlurmctld}"
[ -n "${SLURM_JOB_LICENSES:-}" ] || exit 0 # most jobs want no device

conf=${SOJOURN_SLURM_CONF:-/etc/slurm/sojourn.conf}
# shellcheck source=/dev/null
[ -r "$conf" ] && . "$conf"
: "${SOJOURN_URL:?is not set; see $conf}" "${SOJOURN_KEY_FILE:?is not set; see $conf}"
: "${SOJOURN_LICENSES:?is not set; see $conf}"

# The name of the job's lease: a job that is requeued keeps its number, and gets another lease.
lease="slurm-$SLURM_JOB_ID-${SLURM_JOB_RESTART_COUNT:-${SLURM_RESTART_COUNT:-0}}"

# The devices for which the job holds a licence, a line each.
devices() {
  local pair licence
  for pair in $SOJOURN_LICENSES; do
    licence=${pair%%=*}
    case ",$SLURM_JOB_LICENSES," in
      *",$licence,"* | *",$licence:"* | *",$licence@"*) printf '%s\n' "${pair#*=}" ;;
    esac
  done
}

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# post PATH BODY: prints the status; the answer is in the file $answer. The key is on no command line.
post() {
  printf 'header = "Authorization: Bearer %s"\n' "$(tr -d '[:space:]' <"$SOJOURN_KEY_FILE")" |
    curl --config - --silent --noproxy '*' --max-time 30 --retry 5 --retry-connrefused --retry-max-time 60 \
      --output "$answer" --write-out '%{http_code}' \
      --header 'Content-Type: application/json' --data "$2" "$SOJOURN_URL/sojourn/v1$1"
}
