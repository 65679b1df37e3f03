package sqlitestore

import "golang.org/x/sys/unix"

// mounted reports whether a file is mounted as a single file, so that its name
// here is not the name in its folder. Kernels before 5.8 do not report this.
func mounted(path string) bool {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, 0, &st); err != nil {
		return false
	}
	return st.Attributes&st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0
}
