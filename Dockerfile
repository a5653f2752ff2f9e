# The hosted demo: docker build -t studio-demo . && docker run -p 8501:8501 -v studio-data:/data studio-demo
# All that is written goes to the volume /data; see docs/DEPLOY.md.
FROM python:3.11-slim

RUN useradd --uid 1000 --create-home studio \
    && mkdir /data \
    && chown 1000:1000 /data

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --no-compile -r requirements.txt
COPY .streamlit/config.toml .streamlit/
COPY app.py hosted.py ./
COPY pages pages
COPY tl_core tl_core
COPY ui ui

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TL_MODE=demo \
    TL_WORKSPACE=/data \
    KERAS_HOME=/data/keras \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_HEADLESS=true \
    STREAMLIT_SERVER_FILE_WATCHER_TYPE=none \
    STREAMLIT_SERVER_MAX_UPLOAD_SIZE=20
USER 1000
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "tl_core.visitors.health"]
# PORT is what Cloud Run and others set.
CMD ["sh", "-c", "exec streamlit run hosted.py --server.port=${PORT:-8501}"]
