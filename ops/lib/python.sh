# Sourced by ops/up, ops/down and ops/test: where the tree is, and how its Python runs (bytecode goes below .run/ too).
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PYTHONPATH=$root/ops/lib PYTHONPYCACHEPREFIX=$root/.run/pycache
unset PYTHONHOME PYTHONSTARTUP
