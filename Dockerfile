# Pin the base image: --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:<digest>. SECURITY.md says how to find the digest.
ARG NODE_IMAGE=node:24-bookworm-slim
FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json rolldown.config.mjs ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build && npm ci --omit=dev

FROM ${NODE_IMAGE}
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 BRAIN_DATA_DIR=/data BRAIN_LOG_FORMAT=json
WORKDIR /app
RUN mkdir /data && chown node:node /data
COPY --chown=root:root LICENSE ./
COPY --from=build --chown=root:root /app/package.json ./
COPY --from=build --chown=root:root /app/node_modules ./node_modules
COPY --from=build --chown=root:root /app/dist ./dist
COPY --from=build --chown=root:root /app/scripts/start.sh ./scripts/start.sh
USER node
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Exec form, and the script replaces itself with the service, so that signals reach the service.
CMD ["sh", "scripts/start.sh"]
