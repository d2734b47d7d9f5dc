#!/bin/sh
# What the machine does when it starts.
set -eu
useradd --create-home --shell /bin/sh --password '*' "$USER_NAME"
install -d -m 700 -o "$USER_NAME" "/home/$USER_NAME/.ssh"
echo "$PUBLIC_KEY" >"/home/$USER_NAME/.ssh/authorized_keys"
chown "$USER_NAME" "/home/$USER_NAME/.ssh/authorized_keys"
ssh-keygen -A >/dev/null
exec /usr/sbin/sshd -D -e -p 2222
