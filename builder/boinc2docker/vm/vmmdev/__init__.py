"""VirtualBox' guest device (VMMDev) with its shared folders, as a process beside QEMU: what a volunteer's machine has.

``python -m boinc2docker.vm.vmmdev`` serves one machine. QEMU 10.1 or newer attaches it with its device
``vfio-user-pci``.

This is a stand-in, not VirtualBox: it follows what VirtualBox' source says a host does, and adds faults on request (a
restored saved state, a full disk, a Windows host with a virus scanner, a slow host). Linux only.
"""
