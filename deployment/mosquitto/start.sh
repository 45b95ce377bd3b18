#!/bin/sh
# Starts the broker with its two users, whose passwords config/.env has.
set -eu
: "${MQTT_PASSWORD:?put MQTT_PASSWORD into config/.env: what the twin shows to the broker}"
umask 077
printf 'twin:%s\nmeters:%s\n' "$MQTT_PASSWORD" "$METERS_PASSWORD" >/tmp/passwords
mosquitto_passwd -U /tmp/passwords
cat /etc/digital-twin/mosquitto/rights >/tmp/rights
exec mosquitto -c /etc/digital-twin/mosquitto/mosquitto.conf
