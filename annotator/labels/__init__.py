"""What people say of voxels and slices, made durable: labels, acceptances, tags, object numbers."""
