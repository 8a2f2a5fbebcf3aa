"""Sources of images: HAM10000 (upstream or a mirror), a folder of the user's own, or the drawn phantom.

Each source makes one raw folder of the same shape:

    metadata.csv                        as delivered, comma- or tab-separated
    images/<image_id>.<jpg|jpeg|png>
    masks/<image_id>_segmentation.png   the folder may be empty
    hair_masks/<image_id>.png           of the phantom only
    duplicate_pairs.csv                 image_id_a, image_id_b
    lesion_groupings.csv                where it came: image, lesion_id
    external/<cohort>/images/...        test sets of other origin,
    external/<cohort>/labels.csv        with labels as delivered,
    external/<cohort>/masks/...         masks and lesion_groupings.csv where they came

Experts confirmed that each pair in published_pairs.csv shows one lesion under two lesion_ids:
Abhishek K, Jain A, Hamarneh G. Investigating the Quality of DermaMNIST and Fitzpatrick17k Dermatological Image
Datasets. arXiv:2401.14497 (2024); Scientific Data 12, 196 (2025), doi:10.1038/s41597-025-04382-5
"""
