# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service is killed at every step of what changes the images of a vDisk (see killwalk.py),
while a guest writes: nothing that it has written is ever lost, no file is left over."""

import glob
import itertools
import xml.etree.ElementTree

from killwalk import SETTINGS, Walk, deadline
from service import object_path, vdisk_id
from test_images import IMAGES


class ImageWalk(Walk):
    settings = {**SETTINGS, 'Images': {'FreeMinMiB': '16'}}
    letters = itertools.cycle(b'ABCDEFGHIJKLMNOPQRSTUVWXYZ')

    def clean(self):
        self.merge_all()
        super().clean()

    def attach_one(self, vm):
        self.vdisk = object_path('vdisks', vdisk_id(self.guid))
        return self.attach(vm, {'GUID': self.guid, 'iface': 'virtio'})

    def uids(self):
        return [uid for _, uid, _ in self.get(self.vdisk, 'VDisk', 'Images')[1:]]

    def take(self):
        return self.method(self.vdisk, 'VDisk', 'Snapshot')

    def merge_all(self):
        for uid in self.uids():
            self.call(self.vdisk, 'VDisk', 'Merge', '(sa{sv})', uid, {})

    def merge_last(self):
        uid = self.uids()[-1]
        self.call(self.vdisk, 'VDisk', 'Merge', '(sa{sv})', uid, {})

    # ---- the state: how many images there are, and that all agree on them

    @staticmethod
    def domain(text):
        disks, attachments = Walk.domain(text)
        tree = xml.etree.ElementTree.fromstring(text)
        chain = [source.get('file') for source in tree.iter('source')
                 if (source.get('file') or '').startswith(IMAGES)]
        return disks, attachments, chain

    def assert_one_story(self, state):
        super().assert_one_story(state)
        images = self.get(self.vdisk, 'VDisk', 'Images') if self.vdisk in state['objects'] else []
        files = [details['file'] for _, _, details in images[1:]]
        self.assertEqual(sorted(glob.glob(IMAGES + '/*')), sorted(files))
        for vm in (self.running, self.stopped):
            for persistent in (False, True):
                disks, _, chain = state['libvirt'][vm.name, persistent]
                if disks:
                    self.assertEqual(chain, list(reversed(files)))

    def snapshot(self):
        """The names of the files are new each time: how many there are counts."""
        state = super().snapshot()
        self.assertEqual(self.seen_by_guest(), self.written)
        return state

    def settled(self):
        state = super().settled()
        state['images'] = len(self.uids()) if self.vdisk in state['objects'] else 0
        state['libvirt'] = {key: value if key == 'secrets' else
                            ([disk[:2] for disk in value[0]], value[1], len(value[2]))
                            for key, value in state['libvirt'].items()}
        return state

    # ---- the guest

    written = None

    def write(self):
        self.written = bytes([next(self.letters)])
        self.running.guest.write('vda', 4096, self.written * 512)

    def seen_by_guest(self):
        return self.written and self.running.guest.read('vda', 4096, 512)[:1]

    def assert_unnoticed(self):
        super().assert_unnoticed()
        if self.written:
            self.write()


class KillImages(ImageWalk):
    minutes = 2

    def begin(self):
        self.attach_one(self.running)
        self.running.guest.wait_disks(lambda disks: 'vda' in disks)
        self.addCleanup(setattr, type(self), 'written', None)
        self.write()

    def kill_at(self, point, call):
        if self.written:
            self.write()
        return super().kill_at(point, call)

    def walk_images(self, call, back, n_after):
        """n_after: how many images there are after it. A repeat would make, or merge, one more."""
        def unless_done():
            if len(self.uids()) != n_after:
                call()

        self.walk(unless_done, back)

    @deadline(300)
    def test_snapshot(self):
        self.begin()
        self.walk_images(self.take, self.merge_all, 1)

    @deadline(300)
    def test_merge(self):
        self.begin()
        self.take()
        self.walk_images(self.merge_last, self.take, 0)
        self.assertEqual(len(self.uids()), 1)

    @deadline(300)
    def test_revert(self):
        """Of a VM that is off, to the LUN itself."""
        self.attach_one(self.stopped)
        raw = self.get(self.vdisk, 'VDisk', 'Images')[0][1]
        self.take()
        self.walk_images(lambda: self.revert(raw), self.take, 0)
        self.revert(raw)

    def revert(self, uid):
        self.call(self.vdisk, 'VDisk', 'Revert', '(sa{sv})', uid, {})
