#!/bin/busybox sh
# The guest's first process: the host's files, read-only under an overlay, become its root; then the job.
/bin/busybox mkdir -p /proc /sys /dev /host /over /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "ro,cache=loose,$options" host /host || poweroff -f
mount -t tmpfs tmpfs /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work overlay /root
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t devtmpfs devtmpfs /root/dev
mkdir -p /root/dev/pts /root/dev/shm /root/job
mount -t devpts devpts /root/dev/pts
for folder in dev/shm run; do mount -t tmpfs tmpfs "/root/$folder"; done
mount -t 9p -o "cache=none,$options" job /root/job
version=$(uname -r)
mkdir -p /root/usr/lib/modules
ln -sfn "$(cat /modules/root)/lib/modules/$version" "/root/usr/lib/modules/$version"
exec switch_root /root /bin/busybox sh /job/job.sh
