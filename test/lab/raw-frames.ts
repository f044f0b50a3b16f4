// What needs raw sockets, which Node has not: two small programs in Python, given to it as text, so that nothing but
// JavaScript has to be built or shipped. A capture by tcpdump would not do: as root of a user namespace it insists on
// changing its user, and may not.

/** Records the frames of one interface in libpcap's format. argv: interface, file. Prints `ready` once it listens. */
export const CAPTURE_PROGRAM = `
import socket, struct, sys, time

SOL_PACKET, ADD_MEMBERSHIP, PROMISCUOUS, EVERYTHING = 263, 1, 1, 3
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
tap.bind((sys.argv[1], 0))
tap.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, struct.pack('IHH8s', socket.if_nametoindex(sys.argv[1]), PROMISCUOUS, 0, b''))
with open(sys.argv[2], 'wb', buffering=0) as file:
    file.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 1 << 18, 1))
    print('ready', flush=True)
    while True:
        frame = tap.recv(1 << 18)
        now = time.time()
        file.write(struct.pack('<IIII', int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)
`;

// A wire with a length, because few kernels of virtual machines carry netem. Frames keep their order and, with the header
// that PACKET_VNET_HDR puts in front, their unfinished checksums.

/** Hands frames from one interface to the other after a while. argv: two interfaces, one-way delay in milliseconds. Prints `ready` once both are open. */
export const RELAY_PROGRAM = `
import collections, select, socket, sys, time

names, delay = sys.argv[1:3], float(sys.argv[3]) / 1000
SOL_PACKET, VNET_HDR, OUTGOING, EVERYTHING = 263, 15, 4, 3
ends = []
for name in names:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
    end.setsockopt(SOL_PACKET, VNET_HDR, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    end.bind((name, 0))
    end.setblocking(False)
    ends.append(end)
print('ready', flush=True)

wire = collections.deque()  # (when, where to, frame); the delay is constant, so it is in order of time
while True:
    now = time.monotonic()
    while wire and wire[0][0] <= now:
        _, end, frame = wire.popleft()
        try:
            end.send(frame)
        except OSError:
            pass  # the far end is down, as a wire without a plug
    readable, _, _ = select.select(ends, [], [], max(0, wire[0][0] - now) if wire else None)
    for end in readable:
        other = ends[1 - ends.index(end)]
        for _ in range(128):
            try:
                frame, origin = end.recvfrom(70000)
            except BlockingIOError:
                break
            except OSError:
                time.sleep(0.01)
                break
            if origin[2] != OUTGOING:
                wire.append((time.monotonic() + delay, other, frame))
`;
