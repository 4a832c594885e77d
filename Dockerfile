# chemomech in a container: Debian testing + unstable, which carry FEniCSx.
#
#   docker build -t chemomech .
#   docker run --rm -v "$PWD:/data" chemomech run llzo-edge-dislocation
#
# Results land in the mounted folder. Where that folder does not belong to user 1000, say who you are:
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" chemomech run case.toml
# On several cores:
#   docker run --rm --shm-size=1g -v "$PWD:/data" --entrypoint mpirun chemomech -n 4 chemomech run case.toml
# Where apt or pip need a mirror or a certificate of your own, build on an image that has them (/etc/pip.conf,
# /usr/local/share/ca-certificates): --build-arg BASE=...
ARG BASE=debian:testing-slim

# ---- FEniCSx and its companions, without chemomech: what chemomech-env runs a checkout in -------------
FROM ${BASE} AS environment
ENV LC_ALL=C.UTF-8 \
    OMP_NUM_THREADS=1 \
    VTK_DEFAULT_OPENGL_WINDOW=vtkEGLRenderWindow
COPY apt-packages.txt pip-packages.txt /usr/local/share/chemomech/
# Both suites: a package half-way between them must not break the install. The mirror is the base image's own.
RUN set -eu; export DEBIAN_FRONTEND=noninteractive; \
    printf '%s\n' 'Acquire::Check-Valid-Until "false";' 'Acquire::Retries "3";' 'APT::Install-Recommends "false";' \
      >/etc/apt/apt.conf.d/90chemomech; \
    printf 'path-%s\n' 'exclude=/usr/share/man/*' 'exclude=/usr/share/locale/*' 'exclude=/usr/share/doc/*' \
      'include=/usr/share/doc/*/copyright' >/etc/dpkg/dpkg.cfg.d/90chemomech; \
    apt-get update; \
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
      | grep -v security | sort -u | head -n 1); \
    echo "deb $mirror unstable main" >/etc/apt/sources.list.d/unstable.list; \
    apt-get update; \
    apt-get install -y $(sed 's/#.*//' /usr/local/share/chemomech/apt-packages.txt); \
    apt-get clean; rm -rf /var/lib/apt/lists/*; \
    ln -sf python3 /usr/bin/python; \
    printf '#!/bin/sh\nexec python3 -m chemomech "$@"\n' >/usr/local/bin/chemomech; chmod +x /usr/local/bin/chemomech
# What Debian lacks goes behind Debian's own on Python's path, and so never hides any of it. The import compiles kernels.
RUN set -eu; \
    python3 -I -m pip install --no-deps --only-binary :all: --no-cache-dir --root-user-action ignore \
      --target /usr/local/lib/chemomech -r /usr/local/share/chemomech/pip-packages.txt; \
    echo /usr/local/lib/chemomech >/usr/lib/python3/dist-packages/chemomech.pth; \
    python3 -I -c "from orix.quaternion import Orientation" || echo "going on; what needs orix will not work" >&2

# ---- the package, built where a builder may be installed ----------------------------------------------
FROM environment AS build
RUN apt-get update && apt-get install -y python3-setuptools
COPY pyproject.toml README.md LICENSE /src/
COPY chemomech /src/chemomech
RUN pip install --no-deps --no-build-isolation --break-system-packages --root-user-action=ignore --root /installed /src

# ---- what users run -----------------------------------------------------------------------------------
FROM environment
COPY --from=build /installed/ /
# The home and the caches belong to nobody in particular: `--user` may name any uid.
ENV HOME=/home/chemomech \
    USER=chemomech \
    XDG_CACHE_HOME=/home/chemomech/.cache
RUN set -eu; \
    useradd --uid 1000 --home-dir "$HOME" --create-home --shell /bin/bash chemomech; \
    mkdir -p /data "$XDG_CACHE_HOME"; chown chemomech: /data "$XDG_CACHE_HOME"; chmod 0777 /data "$HOME" "$XDG_CACHE_HOME"; \
    printf '%s\n' '#!/bin/sh' \
      '# A read-only image (Apptainer) keeps its compiled kernels in a copy that can grow.' \
      'if ! [ -w "$XDG_CACHE_HOME" ]; then' \
      '  own=/tmp/chemomech-cache-$(id -u)' \
      '  [ -d "$own" ] || cp -r "$XDG_CACHE_HOME" "$own"' \
      '  export XDG_CACHE_HOME="$own"' \
      'fi' \
      'if ! [ -w . ]; then' \
      '  echo "chemomech: user $(id -u) may not write to $PWD, which belongs to user $(stat -c %u .);" \' \
      '    "start the container with --user \"\$(id -u):\$(id -g)\"" >&2' \
      'fi' \
      'case ${1:-} in mpirun|python3|bash) exec "$@" ;; *) exec chemomech "$@" ;; esac' \
      >/usr/local/bin/chemomech-entry; chmod 0755 /usr/local/bin/chemomech-entry
USER chemomech
WORKDIR /data
# Compiles the kernels of the built-in case into the image, so that the first run does not wait for a compiler.
RUN chemomech run llzo-edge-dislocation --set time.end="1 us" --set "output.times=[]" --out /tmp/warm \
 && rm -rf /tmp/warm && chmod -R a+rwX "$XDG_CACHE_HOME"
ENTRYPOINT ["chemomech-entry"]
CMD ["--help"]
