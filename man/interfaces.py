#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints org.ovirt.DirectLun(5) from the documented interface files.

Each member follows a comment "Name: @argument: … text"; a member without one is an error, so that the
page cannot fall behind the interfaces."""

import re
import sys
import xml.etree.ElementTree as ET

HEAD = r'''.\" SPDX-License-Identifier: LGPL-2.1-or-later
.TH ORG.OVIRT.DIRECTLUN 5 "" "directlun" "D-Bus Interfaces"
.SH NAME
org.ovirt.DirectLun \- the D-Bus interfaces of directlund
.SH DESCRIPTION
.BR directlund (8)
owns the name
.B org.ovirt.DirectLun
on the system bus. Its root object is
.IR /org/ovirt/DirectLun ,
which is an
.B org.freedesktop.DBus.ObjectManager
of everything below it. The path of an object ends in its id, with every byte outside [A\-Za\-z0\-9]
escaped as
.BR sd_bus_path_encode (3)
does it.
'''

TAIL = r'''.SH SEE ALSO
.BR directlund (8),
.BR directlunctl (1),
.BR busctl (1)
'''


def roff(text):
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return '\n'.join('\\&' + line if line[:1] in ".'" else line for line in text.split('\n'))


def paragraphs(lines):
    """A documentation as {argument: text}, [paragraph]."""
    arguments, text, name = {}, [[]], None
    for line in lines:
        found = re.match(r'@(\w+):\s*(.*)', line.strip())
        if found:
            name = found[1]
            arguments[name] = found[2]
        elif not line.strip():
            name = None
            text.append([])
        elif name:
            arguments[name] += ' ' + line.strip()
        else:
            text[-1].append(line.strip())
    return arguments, [' '.join(p) for p in text if p]


def documented(interface):
    """Yields (member, (arguments, paragraphs)) in the order of the file."""
    comment = None
    for node in interface:
        if node.tag is ET.Comment:
            comment = node.text
        elif node.tag in ('method', 'signal', 'property'):
            name, colon, text = (comment or '').strip().partition(':')
            if not colon or name != node.get('name') or not text.strip():
                sys.exit('%s.%s is not documented' % (interface.get('name'), node.get('name')))
            comment = None
            yield node, paragraphs(text.split('\n'))


def signature(node):
    if node.tag == 'property':
        access = {'read': 'readonly', 'readwrite': 'readwrite'}[node.get('access')]
        return '%s %s %s' % (access, node.get('type'), node.get('name'))
    arguments = ['%s %s %s' % (a.get('direction', 'out'), a.get('type'), a.get('name'))
                 for a in node.findall('arg')]
    return '%s(%s)' % (node.get('name'), ', '.join(arguments))


def print_paragraphs(text):
    print('\n.sp\n'.join(roff(paragraph) for paragraph in text))


def print_member(node, arguments, text):
    print('.TP\n.B %s' % roff(signature(node)))
    print_paragraphs(text)
    for name, what in arguments.items():
        print('.RS\n.TP\n.I %s\n%s\n.RE' % (roff(name), roff(what)))


def print_interface(path):
    root = ET.parse(path, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))).getroot()
    comment = next(n for n in root if n.tag is ET.Comment)
    interface = root.find('interface')
    about, text = paragraphs(comment.text.strip().split('\n')[1:])
    print('.SH %s' % roff(interface.get('name').upper()))
    print_paragraphs([about['short_description'] + '.', *text])
    members = list(documented(interface))
    for tag, title in (('method', 'Methods'), ('signal', 'Signals'), ('property', 'Properties')):
        of_tag = [m for m in members if m[0].tag == tag]
        if of_tag:
            print('.SS %s' % title)
        for node, (arguments, text) in of_tag:
            print_member(node, arguments, text)


def main():
    print(HEAD, end='')
    for path in sys.argv[1:]:
        print_interface(path)
    print(TAIL, end='')


main()
