"""Backup and restore of the studio's volumes by restic."""
