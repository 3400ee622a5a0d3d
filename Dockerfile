# `hrnet serve` with the packaged model, on a CPU, without PyTorch.
#
#     docker build --tag hrnet .
#     docker run --publish 127.0.0.1:8000:8000 --read-only --tmpfs /tmp hrnet
#
# For other machines' requests: --publish 8000:8000 --env HRNET_TOKEN=... ; for another model, export
# it (`hrnet export`), and give --volume FOLDER:/models:ro and, after the image, --model /models/FILE.
ARG PYTHON=python:3.12-slim

# PyTorch writes the models as ONNX, and stays behind.
FROM ${PYTHON} AS exported
COPY . /source
RUN python3 -m venv /torch \
    && /torch/bin/pip install --no-cache-dir --constraint /source/constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu '/source[export]' \
    && mkdir /models \
    && /torch/bin/hrnet export /models/pose.onnx \
    && /torch/bin/hrnet export /models/person.onnx --detector auto

# What is needed without it; the versions are those that it was tried with.
RUN python3 -m venv /opt/hrnet \
    && /torch/bin/python /source/scripts/without_torch.py serve openvino > /requirements.txt \
    && /opt/hrnet/bin/pip install --no-cache-dir --requirement /requirements.txt \
    && /opt/hrnet/bin/pip install --no-cache-dir --no-deps /source

FROM ${PYTHON}
COPY --from=exported /opt/hrnet /opt/hrnet
COPY --from=exported /models /models
ENV PATH=/opt/hrnet/bin:$PATH HRNET_HOME=/tmp/hrnet PYTHONUNBUFFERED=1 \
    HRNET_DETECTOR=/models/person.onnx
USER nobody
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
    ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
ENTRYPOINT ["hrnet", "serve", "--host", "0.0.0.0"]
CMD ["--model", "/models/pose.onnx"]
