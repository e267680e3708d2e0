# The program with its production dependencies: docker run --env DATABASE_URL cryptosense-db migrate up
FROM node:22-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm pack --pack-destination /tmp

FROM node:22-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json ./
COPY --from=build /tmp/*.tgz /tmp/
RUN tar --extract --file /tmp/*.tgz --strip-components 1 \
  && npm ci --omit dev --omit optional --omit peer \
  && npm cache clean --force \
  && rm /tmp/*.tgz
USER node
WORKDIR /work
ENTRYPOINT ["node", "/app/bin/cryptosense-db.js"]
