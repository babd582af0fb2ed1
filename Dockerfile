# Commands of stackedmos in a container, on the CPU (linux/amd64); README.md says how to
# build and run it. SET names a file of constraints: base (0.6 GB beside Python: ratings,
# predictions, evaluation) or train (6 GB: also base models and their encoders).
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
ARG SET=base

# What LightGBM is linked against, in whatever version the base image's release has.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# Before the project itself, so that a change of it does not install all anew.
COPY constraints/${SET}.txt /constraints.txt
RUN pip install --no-cache-dir --require-hashes --requirement /constraints.txt

COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl \
    && useradd --create-home --uid 1000 listener
USER 1000
# Writable whoever --user makes it run as.
ENV MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
ENTRYPOINT ["python", "-m", "ensemble"]
CMD ["--help"]
